//go:build !(armbe || arm64be || m68k || mips || mips64 || mips64p32 || ppc || ppc64 || s390 || s390x || shbe || sparc || sparc64)

package queue

// disk converts a header between the machine's byte order and the
// little-endian order of the frame.
func disk(h header) uint64 { return uint64(h) }
