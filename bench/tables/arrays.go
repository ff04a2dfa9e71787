package main

import (
	"unsafe"

	"github.com/puzpuzpuz/xsync/v4"
)

// arrays is a queue of arrays as large as the payload: no copy on the heap, and
// no records of another length.
func arrays(p payload, viaXsync bool) pipe {
	switch p.top {
	case 8:
		return arraysOf[[8]byte](p.items(), viaXsync)
	case 64:
		return arraysOf[[64]byte](p.items(), viaXsync)
	case 256:
		return arraysOf[[256]byte](p.items(), viaXsync)
	case 1024:
		return arraysOf[[1024]byte](p.items(), viaXsync)
	}
	return arraysOf[[16384]byte](p.items(), viaXsync)
}

func arraysOf[T any](items int, viaXsync bool) (p pipe) {
	if viaXsync {
		p = xsyncOf[T](items)
	} else {
		p = channelOf[T](items)
	}
	if unsafe.Sizeof(*new(T)) > 64 {
		// The compiler's copies of long arrays stall on words that were written just
		// before. With a copy in between they are faster than in place.
		p.all = nil
	}
	return p
}

// bytesOf are the bytes of an array of bytes.
func bytesOf[T any](a *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(a)), unsafe.Sizeof(*a)) }

// channelOf is a channel of arrays. Its send is for one goroutine at a time.
//
//go:noinline
func channelOf[T any](items int) pipe {
	ch, in, out := make(chan T, items), new(T), new(T)
	return pipe{
		send: func(rec []byte) bool {
			copy(bytesOf(out), rec)
			select {
			case ch <- *out:
				return true
			default:
				return false
			}
		},
		recv: func(visit visitor) int {
			select {
			case *in = <-ch:
				visit(0, bytesOf(in))
				return 1
			default:
				return 0
			}
		},
		all: func(sizes []int, n int, t *told) {
			item, turn := new(T), 0
			for i := range n {
				fill(bytesOf(item), uint64(i))
				for sent := false; !sent; {
					select {
					case ch <- *item:
						sent = true
					default:
						t.full(i)
					}
				}
				turn = t.next(i, turn, len(sizes))
			}
		},
	}
}

//go:noinline
func xsyncOf[T any](items int) pipe {
	q, in, out := xsync.NewSPSCQueue[T](items), new(T), new(T)
	return pipe{
		send: func(rec []byte) bool {
			copy(bytesOf(out), rec)
			return q.TryEnqueue(*out)
		},
		recv: func(visit visitor) int {
			if !dequeue(q, in) {
				return 0
			}
			visit(0, bytesOf(in))
			return 1
		},
		all: func(sizes []int, n int, t *told) {
			item, turn := new(T), 0
			for i := range n {
				fill(bytesOf(item), uint64(i))
				for !q.TryEnqueue(*item) {
					t.full(i)
				}
				turn = t.next(i, turn, len(sizes))
			}
		},
	}
}

func dequeue[T any](q *xsync.SPSCQueue[T], item *T) (ok bool) {
	*item, ok = q.TryDequeue()
	return ok
}
