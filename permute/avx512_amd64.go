package permute

// firstAVX512 sets groups·lanes sums to the state after the first block. words has its columns,
// stride bytes apart.
//
//go:noescape
func firstAVX512(sums *sums, words *byte, stride, groups int, prefix *prefix)

// secondAVX512 takes the sums of seeds longer than longestOne, by lens, through the second block.
//
//go:noescape
func secondAVX512(sums *sums, words *byte, stride, groups int, lens *uint8)

// hashAVX512 is for pages that lie in columns and storage indexes of indexSize bytes.
func hashAVX512(sums *sums, p *page, prefix *prefix) {
	stride, groups := 4*len(p.lens), (p.n+lanes-1)/lanes
	firstAVX512(sums, &p.first.b[0], stride, groups, prefix)
	if p.second.rows > 0 {
		secondAVX512(sums, &p.second.b[0], stride, groups, &p.lens[0])
	}
}
