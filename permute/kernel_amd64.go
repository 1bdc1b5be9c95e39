package permute

import "golang.org/x/sys/cpu"

// runnable lists the kernels that this machine can run, the best first.
func runnable() []kernel {
	ks := make([]kernel, 0, 3)
	if cpu.X86.HasAVX512F {
		ks = append(ks, amd64AVX512)
	}
	// AVX is asked for because of VZEROUPPER alone: if someone left the upper halves of the vector
	// registers dirty, instructions of the SHA kind would have to merge them each time (Intel
	// optimization manual, "Mixing AVX code with SSE code"). Processors without AVX go without.
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
