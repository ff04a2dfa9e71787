//go:build (!linux && !darwin && !freebsd && !dragonfly && !windows) || logbuf_portable

package vfs

// Space is FS.Space, which this system has no call for that is known here.
func (osFS) Space(dir string) (free, size int64, err error) { return noSpace(dir) }
