// Package step is the narrow place through which the lock-free code of this
// module touches what several goroutines share. In ordinary builds its types
// are those of sync/atomic and its functions compile to what they wrap. With
// the build tag logbuf_explore each access is announced to a scheduler first,
// so that package explore can run the shipped source one access at a time and
// in every order.
package step
