package permute

// Kernels lists the kernels that this machine can run, by name.
func Kernels() []string {
	var names []string
	for _, k := range runnable() {
		names = append(names, k.String())
	}
	return names
}

// EmptyOn returns an empty table that hashes with the kernel of this name.
func EmptyOn[V any](name string) *Table[V] {
	for _, k := range runnable() {
		if k.String() == name {
			return &Table[V]{index: index{k: k}}
		}
	}
	panic("no kernel " + name)
}

const PageSize = pageSize

// Pages returns the number of peers in each page.
func (t *Table[V]) Pages() []int {
	var ns []int
	for _, p := range t.pages {
		ns = append(ns, p.n)
	}
	return ns
}

// HashAll returns what hashes the peers of t and does no more.
func HashAll[V any](t *Table[V]) func(si []byte) {
	var w worker
	var prefix prefix
	return func(si []byte) {
		prefix.set(si)
		for _, p := range t.pages {
			w.hash(p, &prefix)
		}
	}
}
