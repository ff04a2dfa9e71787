package main

import "github.com/puzpuzpuz/xsync/v4"

// arrays is a queue of arrays as large as the payload: no copy on the heap, and
// no records of another length.
func arrays(p payload, viaXsync bool) pipe {
	switch p.top {
	case 8:
		return arraysOf(p, viaXsync, func(a *[8]byte) []byte { return a[:] })
	case 64:
		return arraysOf(p, viaXsync, func(a *[64]byte) []byte { return a[:] })
	case 256:
		return arraysOf(p, viaXsync, func(a *[256]byte) []byte { return a[:] })
	case 1024:
		return arraysOf(p, viaXsync, func(a *[1024]byte) []byte { return a[:] })
	}
	return arraysOf(p, viaXsync, func(a *[16384]byte) []byte { return a[:] })
}

//go:noinline
func arraysOf[T any](p payload, viaXsync bool, bytes func(*T) []byte) pipe {
	put, take := channelOf[T](p.items())
	if viaXsync {
		q := xsync.NewSPSCQueue[T](p.items())
		put = func(a *T) bool { return q.TryEnqueue(*a) }
		take = func(a *T) (ok bool) { *a, ok = q.TryDequeue(); return ok }
	}
	out, in := new(T), new(T)
	return pipe{
		send: func(rec []byte) bool {
			copy(bytes(out), rec)
			return put(out)
		},
		recv: func(visit visitor) int {
			if !take(in) {
				return 0
			}
			visit(0, bytes(in))
			return 1
		},
	}
}

//go:noinline
func channelOf[T any](items int) (put, take func(*T) bool) {
	ch := make(chan T, items)
	put = func(a *T) bool {
		select {
		case ch <- *a:
			return true
		default:
			return false
		}
	}
	take = func(a *T) bool {
		select {
		case *a = <-ch:
			return true
		default:
			return false
		}
	}
	return put, take
}
