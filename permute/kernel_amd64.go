package permute

import "golang.org/x/sys/cpu"

// runnable lists the kernels that this machine can run, the best first.
func runnable() []kernel {
	ks := make([]kernel, 0, 3)
	if cpu.X86.HasAVX512F {
		ks = append(ks, amd64AVX512)
	}
	// AVX only because of VZEROUPPER: a dirty upper half slows the SHA instructions badly. The few
	// processors that have these and no AVX make do without.
	if hasSHANI() && cpu.X86.HasAVX {
		ks = append(ks, amd64SHANI)
	}
	return append(ks, pureGo)
}

// hash sets w.sums to the permuted ids of the peers of p.
func (w *worker) hash(p *page, prefix *prefix) {
	switch {
	case prefix.n != indexSize:
		hashAny(&w.sums, p, prefix)
	case p.k == amd64AVX512:
		hashAVX512(&w.sums, p, prefix)
	case p.k == amd64SHANI:
		hashSHANI(&w.sums, p, prefix)
	default:
		w.std.hash(&w.sums, p, prefix)
	}
}
