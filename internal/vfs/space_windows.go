//go:build !logbuf_portable

package vfs

import (
	"io/fs"

	"golang.org/x/sys/windows"
)

// Space is FS.Space: GetDiskFreeSpaceEx.
func (osFS) Space(dir string) (free, size int64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	var mine, total, all uint64
	if err := windows.GetDiskFreeSpaceEx(name, &mine, &total, &all); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(mine), int64(total), nil
}
