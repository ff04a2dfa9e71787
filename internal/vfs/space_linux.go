//go:build !logbuf_portable

package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Space is FS.Space: statfs(2).
func (osFS) Space(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == nil {
			break
		}
		if err != unix.EINTR { //nolint:errorlint // a bare Errno
			return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
		}
	}
	unit := int64(st.Frsize) // what the counts are in; some file systems leave it out
	if unit == 0 {
		unit = int64(st.Bsize)
	}
	return int64(st.Bavail) * unit, int64(st.Blocks) * unit, nil
}
