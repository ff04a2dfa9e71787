package journal

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Blocks of rewritten segments may be compressed one by one with zstd (codec 2). What is stored is one zstd frame and, to fill up a multiple of
// 8 bytes, one skippable frame: any zstd decoder takes the two as they are.

// skippable is the magic of a zstd skippable frame. Its length follows as u32, then that many bytes that mean nothing.
const skippable = 0x184D2A50

// decoderSpare is room behind the decoded bytes that lets the decoder copy in large steps.
const decoderSpare = 64

// zstdDecoder is the decoder that all walkers share. It decodes whole blocks on the caller's goroutine, never into more memory than it is
// given, and has no goroutines.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxMaxBlock+decoderSpare), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(fmt.Sprintf("journal: zstd: %v", err)) // the options are constants
	}
	return d
})

// newZstdEncoder returns an encoder for compressBlock. It has no goroutines.
func newZstdEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(fmt.Sprintf("journal: zstd: %v", err)) // the options are constants
	}
	return e
}

// compressBlock appends the compressed form of frames to dst, a multiple of 8 bytes.
func compressBlock(e *zstd.Encoder, dst, frames []byte) []byte {
	start := len(dst)
	dst = e.EncodeAll(frames, dst)
	if pad := -(len(dst) - start) & (blockAlign - 1); pad > 0 {
		var zeros [blockAlign]byte
		dst = le.AppendUint32(dst, skippable)
		dst = le.AppendUint32(dst, uint32(pad))
		dst = append(dst, zeros[:pad]...)
	}
	return dst
}

// decompress turns stored, whose checksum is right, into raw bytes of frames. It uses buf's memory when there is enough of it, and allocates
// no more than raw and a few bytes. bad says what is wrong, empty when nothing is.
func decompress(buf, stored []byte, raw int) (frames []byte, bad string) {
	if cap(buf) < raw+decoderSpare {
		buf = make([]byte, 0, raw+decoderSpare)
	}
	frames, err := zstdDecoder().DecodeAll(stored, buf[:0])
	if err != nil {
		return nil, fmt.Sprintf("block cannot be decompressed: %v", err)
	}
	if len(frames) != raw {
		return nil, fmt.Sprintf("block decompresses to %d bytes, its header says %d", len(frames), raw)
	}
	return frames, ""
}
