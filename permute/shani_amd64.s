#include "go_asm.h"
#include "textflag.h"

// SHA-1 (FIPS 180-4) of two messages at a time with the SHA extensions. One SHA1RNDS4 does four
// rounds, but the next has to wait for it; meanwhile the other message has its turn. Intel's "New
// Instructions Supporting the Secure Hash Algorithm on Intel Architecture Processors" (2013)
// explains the steps. In a register the first of four words is the highest.

// The one message: state a to d, e for even and odd quads, the last 16 words of the schedule.
#define ABCD X0
#define E0 X1
#define E1 X2
#define M0 X3
#define M1 X4
#define M2 X5
#define M3 X6

// The other message.
#define EFGH X7
#define G0 X8
#define G1 X9
#define N0 X10
#define N1 X11
#define N2 X12
#define N3 X13

#define REVERSE X14 // shuffle that turns 16 message bytes into four words
#define T X15

// QUAD is four rounds of both. e was the state before the quad before this: its a is now e.
#define QUAD(f, e, next, m, g, gnext, n) \
	SHA1NEXTE m, e         \
	SHA1NEXTE n, g         \
	MOVO      ABCD, next   \
	MOVO      EFGH, gnext  \
	SHA1RNDS4 f, e, ABCD   \
	SHA1RNDS4 f, g, EFGH

// The steps of the message schedule, each as soon as its words are known.
#define MSG1(m, by, n, nby) \
	; SHA1MSG1 by, m  \
	; SHA1MSG1 nby, n

#define MSG2(m, by, n, nby) \
	SHA1MSG2 by, m;  \
	SHA1MSG2 nby, n;

#define XOR(m, by, n, nby) \
	; PXOR by, m  \
	; PXOR nby, n

#define ROUNDS_4_TO_79 \
	QUAD($0, E1, E0, M1, G1, G0, N1) MSG1(M0, M1, N0, N1) \
	QUAD($0, E0, E1, M2, G0, G1, N2) MSG1(M1, M2, N1, N2) XOR(M0, M2, N0, N2) \
	MSG2(M0, M3, N0, N3) QUAD($0, E1, E0, M3, G1, G0, N3) MSG1(M2, M3, N2, N3) XOR(M1, M3, N1, N3) \
	MSG2(M1, M0, N1, N0) QUAD($0, E0, E1, M0, G0, G1, N0) MSG1(M3, M0, N3, N0) XOR(M2, M0, N2, N0) \
	MSG2(M2, M1, N2, N1) QUAD($1, E1, E0, M1, G1, G0, N1) MSG1(M0, M1, N0, N1) XOR(M3, M1, N3, N1) \
	MSG2(M3, M2, N3, N2) QUAD($1, E0, E1, M2, G0, G1, N2) MSG1(M1, M2, N1, N2) XOR(M0, M2, N0, N2) \
	MSG2(M0, M3, N0, N3) QUAD($1, E1, E0, M3, G1, G0, N3) MSG1(M2, M3, N2, N3) XOR(M1, M3, N1, N3) \
	MSG2(M1, M0, N1, N0) QUAD($1, E0, E1, M0, G0, G1, N0) MSG1(M3, M0, N3, N0) XOR(M2, M0, N2, N0) \
	MSG2(M2, M1, N2, N1) QUAD($1, E1, E0, M1, G1, G0, N1) MSG1(M0, M1, N0, N1) XOR(M3, M1, N3, N1) \
	MSG2(M3, M2, N3, N2) QUAD($2, E0, E1, M2, G0, G1, N2) MSG1(M1, M2, N1, N2) XOR(M0, M2, N0, N2) \
	MSG2(M0, M3, N0, N3) QUAD($2, E1, E0, M3, G1, G0, N3) MSG1(M2, M3, N2, N3) XOR(M1, M3, N1, N3) \
	MSG2(M1, M0, N1, N0) QUAD($2, E0, E1, M0, G0, G1, N0) MSG1(M3, M0, N3, N0) XOR(M2, M0, N2, N0) \
	MSG2(M2, M1, N2, N1) QUAD($2, E1, E0, M1, G1, G0, N1) MSG1(M0, M1, N0, N1) XOR(M3, M1, N3, N1) \
	MSG2(M3, M2, N3, N2) QUAD($2, E0, E1, M2, G0, G1, N2) MSG1(M1, M2, N1, N2) XOR(M0, M2, N0, N2) \
	MSG2(M0, M3, N0, N3) QUAD($3, E1, E0, M3, G1, G0, N3) MSG1(M2, M3, N2, N3) XOR(M1, M3, N1, N3) \
	MSG2(M1, M0, N1, N0) QUAD($3, E0, E1, M0, G0, G1, N0) MSG1(M3, M0, N3, N0) XOR(M2, M0, N2, N0) \
	MSG2(M2, M1, N2, N1) QUAD($3, E1, E0, M1, G1, G0, N1) XOR(M3, M1, N3, N1) \
	MSG2(M3, M2, N3, N2) QUAD($3, E0, E1, M2, G0, G1, N2) \
	QUAD($3, E1, E0, M3, G1, G0, N3)

DATA reverse<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA reverse<>+8(SB)/8, $0x0001020304050607
GLOBL reverse<>(SB), NOPTR|RODATA, $16

// The initial state, d c b a and 0 0 0 e.
DATA initial<>+0(SB)/4, $0x10325476
DATA initial<>+4(SB)/4, $0x98badcfe
DATA initial<>+8(SB)/4, $0xefcdab89
DATA initial<>+12(SB)/4, $0x67452301
DATA initial<>+16(SB)/8, $0
DATA initial<>+24(SB)/8, $0xc3d2e1f000000000
GLOBL initial<>(SB), NOPTR|RODATA, $32

// ROW is the size of a row of sums in bytes.
#define ROW (4*const_pageSize)

// STORE puts a permuted id into sums (in DI), at place i.
#define STORE(abcd, e, i) \
	PEXTRD $3, abcd, 0*ROW(DI)(i*4) \
	PEXTRD $2, abcd, 1*ROW(DI)(i*4) \
	PEXTRD $1, abcd, 2*ROW(DI)(i*4) \
	PEXTRD $0, abcd, 3*ROW(DI)(i*4) \
	PEXTRD $3, e, 4*ROW(DI)(i*4)

// LOAD takes the permuted id at place i from sums.
#define LOAD(abcd, e, i) \
	PINSRD $3, 0*ROW(DI)(i*4), abcd \
	PINSRD $2, 1*ROW(DI)(i*4), abcd \
	PINSRD $1, 2*ROW(DI)(i*4), abcd \
	PINSRD $0, 3*ROW(DI)(i*4), abcd \
	PXOR   e, e                     \
	PINSRD $3, 4*ROW(DI)(i*4), e

// FIRST loads words 4 to 15 of a first block, 48 bytes at p.
#define FIRST(p, m1, m2, m3) \
	MOVOU  0(p), m1    \
	MOVOU  16(p), m2   \
	MOVOU  32(p), m3   \
	PSHUFB REVERSE, m1 \
	PSHUFB REVERSE, m2 \
	PSHUFB REVERSE, m3

// SECOND loads a second block from the 24 bytes at p: words 0 to 4 and 15, the others being 0.
#define SECOND(p, m0, m1, m2, m3) \
	MOVOU  (p), m0      \
	PSHUFB REVERSE, m0  \
	MOVL   16(p), AX    \
	BSWAPL AX           \
	PXOR   m1, m1       \
	PINSRD $3, AX, m1   \
	PXOR   m2, m2       \
	MOVL   20(p), AX    \
	BSWAPL AX           \
	MOVQ   AX, m3

// func firstSHANI(sums *sums, words *byte, n int, prefix *prefix)
TEXT ·firstSHANI(SB), NOSPLIT, $0-32
	MOVQ  sums+0(FP), DI
	MOVQ  words+8(FP), SI
	MOVQ  n+16(FP), CX
	MOVQ  prefix+24(FP), BX
	VZEROUPPER
	MOVOU reverse<>(SB), REVERSE
	XORQ  R8, R8

first:
	// Peers R8 and R9: the next two, or the last twice.
	LEAQ    1(R8), R9
	CMPQ    R9, CX
	CMOVQGE R8, R9
	LEAQ    (R8)(R8*2), R10
	SHLQ    $4, R10
	ADDQ    SI, R10
	LEAQ    (R9)(R9*2), R11
	SHLQ    $4, R11
	ADDQ    SI, R11

	// Rounds 0 to 3 know only the storage index and are in the prefix.
	MOVOU  prefix_words(BX), M0
	PSHUFD $0x1b, M0, M0
	MOVO   M0, N0
	MOVOU  prefix_state(BX), ABCD
	PSHUFD $0x1b, ABCD, ABCD
	MOVO   ABCD, EFGH
	MOVOU  initial<>(SB), E1
	MOVO   E1, G1
	FIRST(R10, M1, M2, M3)
	FIRST(R11, N1, N2, N3)

	ROUNDS_4_TO_79

	MOVOU     initial<>+16(SB), T
	SHA1NEXTE T, E0
	SHA1NEXTE T, G0
	MOVOU     initial<>(SB), T
	PADDL     T, ABCD
	PADDL     T, EFGH
	STORE(ABCD, E0, R8)
	STORE(EFGH, G0, R9)
	ADDQ $2, R8
	CMPQ R8, CX
	JLT  first
	RET

// func secondSHANI(sums *sums, words *byte, at []uint16)
TEXT ·secondSHANI(SB), NOSPLIT, $0-40
	MOVQ  sums+0(FP), DI
	MOVQ  words+8(FP), SI
	MOVQ  at_base+16(FP), BX
	MOVQ  at_len+24(FP), CX
	VZEROUPPER
	MOVOU reverse<>(SB), REVERSE
	XORQ  DX, DX

second:
	// Peers R8 and R9 of at: the next two, or the last twice.
	LEAQ    1(DX), R9
	CMPQ    R9, CX
	CMOVQGE DX, R9
	MOVWLZX (BX)(DX*2), R8
	MOVWLZX (BX)(R9*2), R9
	LEAQ    (R8)(R8*2), R10
	LEAQ    (SI)(R10*8), R10
	LEAQ    (R9)(R9*2), R11
	LEAQ    (SI)(R11*8), R11

	LOAD(ABCD, E0, R8)
	LOAD(EFGH, G0, R9)
	SECOND(R10, M0, M1, M2, M3)
	SECOND(R11, N0, N1, N2, N3)

	// The first quad: e is there, so that it is added and not taken from an earlier state.
	PADDL     M0, E0
	PADDL     N0, G0
	MOVO      ABCD, E1
	MOVO      EFGH, G1
	SHA1RNDS4 $0, E0, ABCD
	SHA1RNDS4 $0, G0, EFGH

	ROUNDS_4_TO_79

	LOAD(M0, M1, R8)
	LOAD(N0, N1, R9)
	SHA1NEXTE M1, E0
	SHA1NEXTE N1, G0
	PADDL     M0, ABCD
	PADDL     N0, EFGH
	STORE(ABCD, E0, R8)
	STORE(EFGH, G0, R9)
	ADDQ $2, DX
	CMPQ DX, CX
	JLT  second
	RET

// func hasSHANI() bool
TEXT ·hasSHANI(SB), NOSPLIT, $0-1
	MOVB $0, ret+0(FP)
	XORL AX, AX
	CPUID
	CMPL AX, $7
	JLT  no
	MOVL $7, AX
	XORL CX, CX
	CPUID
	BTL  $29, BX
	JCC  no
	MOVB $1, ret+0(FP)

no:
	RET
