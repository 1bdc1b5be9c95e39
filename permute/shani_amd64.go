package permute

// firstSHANI sets n > 0 sums to the state after the first block; words lie peer by peer.
//
//go:noescape
func firstSHANI(sums *sums, words *byte, n int, prefix *prefix)

// secondSHANI takes the sums of the peers at, which are not none, through the second block.
//
//go:noescape
func secondSHANI(sums *sums, words *byte, at []uint16)

// hashSHANI is for pages that lie peer by peer and storage indexes of indexSize bytes.
func hashSHANI(sums *sums, p *page, prefix *prefix) {
	firstSHANI(sums, &p.first.b[0], p.n, prefix)
	if p.second.rows == 0 {
		return
	}
	var buf [pageSize]uint16
	at := buf[:0]
	for i, n := range p.lens[:p.n] {
		if isLong(n) {
			at = append(at, uint16(i))
		}
	}
	if len(at) > 0 {
		secondSHANI(sums, &p.second.b[0], at)
	}
}

// hasSHANI reports whether the processor has the SHA extensions: CPUID leaf 7, EBX bit 29. No
// operating system needs to know of them. x/sys/cpu does not ask.
//
//go:noescape
func hasSHANI() bool
