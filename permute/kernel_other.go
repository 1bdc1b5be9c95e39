//go:build !amd64

package permute

// runnable lists the kernels that this machine can run, the best first.
func runnable() []kernel { return []kernel{pureGo} }

// hash sets w.sums to the permuted ids of the peers of p.
func (w *worker) hash(p *page, prefix *prefix) {
	if prefix.n != indexSize {
		hashAny(&w.sums, p, prefix)
		return
	}
	w.std.hash(&w.sums, p, prefix)
}
