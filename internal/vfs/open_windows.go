package vfs

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// openFile opens a file so that it can be renamed while it is open, as on unix: package os does not share deletion, and the journal
// renames its prepared segment while it writes to it. Flags that the journal does not use are left to package os.
func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	access := uint32(windows.GENERIC_READ)
	if flag&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	var disposition uint32
	switch flag &^ os.O_RDWR {
	case 0:
		disposition = windows.OPEN_EXISTING
	case os.O_CREATE:
		disposition = windows.OPEN_ALWAYS
	case os.O_CREATE | os.O_EXCL:
		disposition = windows.CREATE_NEW
	case os.O_CREATE | os.O_TRUNC:
		disposition = windows.CREATE_ALWAYS
	default:
		return os.OpenFile(name, flag, perm)
	}
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	share := uint32(windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE)
	h, err := windows.CreateFile(p, access, share, nil, disposition, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}
