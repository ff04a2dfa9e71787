//go:build (darwin || freebsd || dragonfly) && !logbuf_portable

package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Space is FS.Space: statfs(2).
func (osFS) Space(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
