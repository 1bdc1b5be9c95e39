#include "go_asm.h"
#include "textflag.h"

// SHA-1 (FIPS 180-4) of 16 messages at a time, one in each 32-bit lane: AVX-512F has the rotation
// and the three-way logic that SHA-1 consists of, so a round is nine instructions and a step of the
// message schedule three. What bounds it are the two ports that 512-bit arithmetic has.

// The state, whose names move on by one place with each round instead of its values.
#define A Z0
#define B Z1
#define C Z2
#define D Z3
#define E Z4

// The round constants.
#define RC0 Z8
#define RC1 Z9
#define RC2 Z10
#define RC3 Z11

// The last 16 words of the message schedule.
#define W0 Z16
#define W1 Z17
#define W2 Z18
#define W3 Z19
#define W4 Z20
#define W5 Z21
#define W6 Z22
#define W7 Z23
#define W8 Z24
#define W9 Z25
#define W10 Z26
#define W11 Z27
#define W12 Z28
#define W13 Z29
#define W14 Z30
#define W15 Z31

// Truth tables for VPTERNLOGD of b, c, d.
#define CH $0xca
#define PARITY $0x96
#define MAJ $0xe8

// ROUND is e += rol(a, 5) + f(b, c, d) + k + w; b = rol(b, 30). The addition of rol(a, 5), the one
// that the next round waits for, comes last.
#define ROUND(a, b, c, d, e, w, k, f) \
	VMOVDQA32  b, Z5        \
	VPTERNLOGD f, d, c, Z5  \
	VPADDD     w, e, e      \
	VPADDD     k, Z5, Z5    \
	VPROLD     $5, a, Z6    \
	VPADDD     Z5, e, e     \
	VPROLD     $30, b, b    \
	VPADDD     Z6, e, e

// MIX makes word t of the schedule in the place of word t-16.
#define MIX(w16, w14, w8, w3) \
	VPTERNLOGD PARITY, w8, w14, w16 \
	VPXORD     w3, w16, w16         \
	VPROLD     $1, w16, w16

#define ROUNDS_4_TO_79 \
	ROUND(B, C, D, E, A, W4, RC0, CH) \
	ROUND(A, B, C, D, E, W5, RC0, CH) \
	ROUND(E, A, B, C, D, W6, RC0, CH) \
	ROUND(D, E, A, B, C, W7, RC0, CH) \
	ROUND(C, D, E, A, B, W8, RC0, CH) \
	ROUND(B, C, D, E, A, W9, RC0, CH) \
	ROUND(A, B, C, D, E, W10, RC0, CH) \
	ROUND(E, A, B, C, D, W11, RC0, CH) \
	ROUND(D, E, A, B, C, W12, RC0, CH) \
	ROUND(C, D, E, A, B, W13, RC0, CH) \
	ROUND(B, C, D, E, A, W14, RC0, CH) \
	ROUND(A, B, C, D, E, W15, RC0, CH) \
	MIX(W0, W2, W8, W13) ROUND(E, A, B, C, D, W0, RC0, CH) \
	MIX(W1, W3, W9, W14) ROUND(D, E, A, B, C, W1, RC0, CH) \
	MIX(W2, W4, W10, W15) ROUND(C, D, E, A, B, W2, RC0, CH) \
	MIX(W3, W5, W11, W0) ROUND(B, C, D, E, A, W3, RC0, CH) \
	MIX(W4, W6, W12, W1) ROUND(A, B, C, D, E, W4, RC1, PARITY) \
	MIX(W5, W7, W13, W2) ROUND(E, A, B, C, D, W5, RC1, PARITY) \
	MIX(W6, W8, W14, W3) ROUND(D, E, A, B, C, W6, RC1, PARITY) \
	MIX(W7, W9, W15, W4) ROUND(C, D, E, A, B, W7, RC1, PARITY) \
	MIX(W8, W10, W0, W5) ROUND(B, C, D, E, A, W8, RC1, PARITY) \
	MIX(W9, W11, W1, W6) ROUND(A, B, C, D, E, W9, RC1, PARITY) \
	MIX(W10, W12, W2, W7) ROUND(E, A, B, C, D, W10, RC1, PARITY) \
	MIX(W11, W13, W3, W8) ROUND(D, E, A, B, C, W11, RC1, PARITY) \
	MIX(W12, W14, W4, W9) ROUND(C, D, E, A, B, W12, RC1, PARITY) \
	MIX(W13, W15, W5, W10) ROUND(B, C, D, E, A, W13, RC1, PARITY) \
	MIX(W14, W0, W6, W11) ROUND(A, B, C, D, E, W14, RC1, PARITY) \
	MIX(W15, W1, W7, W12) ROUND(E, A, B, C, D, W15, RC1, PARITY) \
	MIX(W0, W2, W8, W13) ROUND(D, E, A, B, C, W0, RC1, PARITY) \
	MIX(W1, W3, W9, W14) ROUND(C, D, E, A, B, W1, RC1, PARITY) \
	MIX(W2, W4, W10, W15) ROUND(B, C, D, E, A, W2, RC1, PARITY) \
	MIX(W3, W5, W11, W0) ROUND(A, B, C, D, E, W3, RC1, PARITY) \
	MIX(W4, W6, W12, W1) ROUND(E, A, B, C, D, W4, RC1, PARITY) \
	MIX(W5, W7, W13, W2) ROUND(D, E, A, B, C, W5, RC1, PARITY) \
	MIX(W6, W8, W14, W3) ROUND(C, D, E, A, B, W6, RC1, PARITY) \
	MIX(W7, W9, W15, W4) ROUND(B, C, D, E, A, W7, RC1, PARITY) \
	MIX(W8, W10, W0, W5) ROUND(A, B, C, D, E, W8, RC2, MAJ) \
	MIX(W9, W11, W1, W6) ROUND(E, A, B, C, D, W9, RC2, MAJ) \
	MIX(W10, W12, W2, W7) ROUND(D, E, A, B, C, W10, RC2, MAJ) \
	MIX(W11, W13, W3, W8) ROUND(C, D, E, A, B, W11, RC2, MAJ) \
	MIX(W12, W14, W4, W9) ROUND(B, C, D, E, A, W12, RC2, MAJ) \
	MIX(W13, W15, W5, W10) ROUND(A, B, C, D, E, W13, RC2, MAJ) \
	MIX(W14, W0, W6, W11) ROUND(E, A, B, C, D, W14, RC2, MAJ) \
	MIX(W15, W1, W7, W12) ROUND(D, E, A, B, C, W15, RC2, MAJ) \
	MIX(W0, W2, W8, W13) ROUND(C, D, E, A, B, W0, RC2, MAJ) \
	MIX(W1, W3, W9, W14) ROUND(B, C, D, E, A, W1, RC2, MAJ) \
	MIX(W2, W4, W10, W15) ROUND(A, B, C, D, E, W2, RC2, MAJ) \
	MIX(W3, W5, W11, W0) ROUND(E, A, B, C, D, W3, RC2, MAJ) \
	MIX(W4, W6, W12, W1) ROUND(D, E, A, B, C, W4, RC2, MAJ) \
	MIX(W5, W7, W13, W2) ROUND(C, D, E, A, B, W5, RC2, MAJ) \
	MIX(W6, W8, W14, W3) ROUND(B, C, D, E, A, W6, RC2, MAJ) \
	MIX(W7, W9, W15, W4) ROUND(A, B, C, D, E, W7, RC2, MAJ) \
	MIX(W8, W10, W0, W5) ROUND(E, A, B, C, D, W8, RC2, MAJ) \
	MIX(W9, W11, W1, W6) ROUND(D, E, A, B, C, W9, RC2, MAJ) \
	MIX(W10, W12, W2, W7) ROUND(C, D, E, A, B, W10, RC2, MAJ) \
	MIX(W11, W13, W3, W8) ROUND(B, C, D, E, A, W11, RC2, MAJ) \
	MIX(W12, W14, W4, W9) ROUND(A, B, C, D, E, W12, RC3, PARITY) \
	MIX(W13, W15, W5, W10) ROUND(E, A, B, C, D, W13, RC3, PARITY) \
	MIX(W14, W0, W6, W11) ROUND(D, E, A, B, C, W14, RC3, PARITY) \
	MIX(W15, W1, W7, W12) ROUND(C, D, E, A, B, W15, RC3, PARITY) \
	MIX(W0, W2, W8, W13) ROUND(B, C, D, E, A, W0, RC3, PARITY) \
	MIX(W1, W3, W9, W14) ROUND(A, B, C, D, E, W1, RC3, PARITY) \
	MIX(W2, W4, W10, W15) ROUND(E, A, B, C, D, W2, RC3, PARITY) \
	MIX(W3, W5, W11, W0) ROUND(D, E, A, B, C, W3, RC3, PARITY) \
	MIX(W4, W6, W12, W1) ROUND(C, D, E, A, B, W4, RC3, PARITY) \
	MIX(W5, W7, W13, W2) ROUND(B, C, D, E, A, W5, RC3, PARITY) \
	MIX(W6, W8, W14, W3) ROUND(A, B, C, D, E, W6, RC3, PARITY) \
	MIX(W7, W9, W15, W4) ROUND(E, A, B, C, D, W7, RC3, PARITY) \
	MIX(W8, W10, W0, W5) ROUND(D, E, A, B, C, W8, RC3, PARITY) \
	MIX(W9, W11, W1, W6) ROUND(C, D, E, A, B, W9, RC3, PARITY) \
	MIX(W10, W12, W2, W7) ROUND(B, C, D, E, A, W10, RC3, PARITY) \
	MIX(W11, W13, W3, W8) ROUND(A, B, C, D, E, W11, RC3, PARITY) \
	MIX(W12, W14, W4, W9) ROUND(E, A, B, C, D, W12, RC3, PARITY) \
	MIX(W13, W15, W5, W10) ROUND(D, E, A, B, C, W13, RC3, PARITY) \
	MIX(W14, W0, W6, W11) ROUND(C, D, E, A, B, W14, RC3, PARITY) \
	MIX(W15, W1, W7, W12) ROUND(B, C, D, E, A, W15, RC3, PARITY)

#define LOAD_CONSTANTS \
	VPBROADCASTD ·roundConstants+0(SB), RC0  \
	VPBROADCASTD ·roundConstants+4(SB), RC1  \
	VPBROADCASTD ·roundConstants+8(SB), RC2  \
	VPBROADCASTD ·roundConstants+12(SB), RC3

// ROW is the size of a row of sums in bytes.
#define ROW (4*const_pageSize)

// func firstAVX512(sums *sums, words *byte, stride, groups int, prefix *prefix)
TEXT ·firstAVX512(SB), NOSPLIT, $0-40
	MOVQ sums+0(FP), DI
	MOVQ words+8(FP), SI
	MOVQ stride+16(FP), DX
	MOVQ groups+24(FP), CX
	MOVQ prefix+32(FP), BX
	LEAQ (DX)(DX*2), R8 // 3 rows
	LEAQ (DX)(DX*4), R9 // 5 rows
	LEAQ (R8)(DX*4), R10 // 7 rows
	LEAQ (R9)(DX*4), R11 // 9 rows
	LEAQ (R10)(DX*4), R12 // 11 rows
	LOAD_CONSTANTS

first:
	// Rounds 0 to 3 know only the storage index and are in the prefix.
	VPBROADCASTD prefix_words+0(BX), W0
	VPBROADCASTD prefix_words+4(BX), W1
	VPBROADCASTD prefix_words+8(BX), W2
	VPBROADCASTD prefix_words+12(BX), W3
	VPBROADCASTD prefix_state+0(BX), B
	VPBROADCASTD prefix_state+4(BX), C
	VPBROADCASTD prefix_state+8(BX), D
	VPBROADCASTD prefix_state+12(BX), E
	VPBROADCASTD prefix_state+16(BX), A
	VMOVDQU32 (SI), W4
	VMOVDQU32 (SI)(DX*1), W5
	VMOVDQU32 (SI)(DX*2), W6
	VMOVDQU32 (SI)(R8*1), W7
	VMOVDQU32 (SI)(DX*4), W8
	VMOVDQU32 (SI)(R9*1), W9
	VMOVDQU32 (SI)(R8*2), W10
	VMOVDQU32 (SI)(R10*1), W11
	VMOVDQU32 (SI)(DX*8), W12
	VMOVDQU32 (SI)(R11*1), W13
	VMOVDQU32 (SI)(R9*2), W14
	VMOVDQU32 (SI)(R12*1), W15

	ROUNDS_4_TO_79

	VPADDD.BCST ·initialState+0(SB), A, A
	VPADDD.BCST ·initialState+4(SB), B, B
	VPADDD.BCST ·initialState+8(SB), C, C
	VPADDD.BCST ·initialState+12(SB), D, D
	VPADDD.BCST ·initialState+16(SB), E, E
	VMOVDQU32 A, 0*ROW(DI)
	VMOVDQU32 B, 1*ROW(DI)
	VMOVDQU32 C, 2*ROW(DI)
	VMOVDQU32 D, 3*ROW(DI)
	VMOVDQU32 E, 4*ROW(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  first
	VZEROUPPER
	RET

// func secondAVX512(sums *sums, words *byte, stride, groups int, lens *uint8)
TEXT ·secondAVX512(SB), NOSPLIT, $0-40
	MOVQ sums+0(FP), DI
	MOVQ words+8(FP), SI
	MOVQ stride+16(FP), DX
	MOVQ groups+24(FP), CX
	MOVQ lens+32(FP), BX
	LEAQ (DX)(DX*2), R8 // 3 rows
	LEAQ (DX)(DX*4), R9 // 5 rows
	LOAD_CONSTANTS
	MOVL         $const_longestOne, AX
	VPBROADCASTD AX, Z12

second:
	// Only long seeds have a second block; K1 says where they are.
	VPMOVZXBD (BX), Z5
	VPCMPUD   $6, Z12, Z5, K1
	KORTESTW  K1, K1
	JZ        skip

	VMOVDQU32 0*ROW(DI), A
	VMOVDQU32 1*ROW(DI), B
	VMOVDQU32 2*ROW(DI), C
	VMOVDQU32 3*ROW(DI), D
	VMOVDQU32 4*ROW(DI), E
	VMOVDQU32 (SI), W0
	VMOVDQU32 (SI)(DX*1), W1
	VMOVDQU32 (SI)(DX*2), W2
	VMOVDQU32 (SI)(R8*1), W3
	VMOVDQU32 (SI)(DX*4), W4
	VPXORD W5, W5, W5
	VPXORD W6, W6, W6
	VPXORD W7, W7, W7
	VPXORD W8, W8, W8
	VPXORD W9, W9, W9
	VPXORD W10, W10, W10
	VPXORD W11, W11, W11
	VPXORD W12, W12, W12
	VPXORD W13, W13, W13
	VPXORD W14, W14, W14
	VMOVDQU32 (SI)(R9*1), W15

	ROUND(A, B, C, D, E, W0, RC0, CH)
	ROUND(E, A, B, C, D, W1, RC0, CH)
	ROUND(D, E, A, B, C, W2, RC0, CH)
	ROUND(C, D, E, A, B, W3, RC0, CH)
	ROUNDS_4_TO_79

	VPADDD 0*ROW(DI), A, A
	VPADDD 1*ROW(DI), B, B
	VPADDD 2*ROW(DI), C, C
	VPADDD 3*ROW(DI), D, D
	VPADDD 4*ROW(DI), E, E
	VMOVDQU32 A, K1, 0*ROW(DI)
	VMOVDQU32 B, K1, 1*ROW(DI)
	VMOVDQU32 C, K1, 2*ROW(DI)
	VMOVDQU32 D, K1, 3*ROW(DI)
	VMOVDQU32 E, K1, 4*ROW(DI)

skip:
	ADDQ $64, SI
	ADDQ $64, DI
	ADDQ $16, BX
	DECQ CX
	JNZ  second
	VZEROUPPER
	RET
