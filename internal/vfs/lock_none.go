//go:build !windows && (!unix || solaris || illumos || aix)

package vfs

import (
	"errors"
	"os"
)

// lockFile: these systems have no flock. Refusing is better than a lock that does not lock.
func lockFile(*os.File, bool) error { return errors.ErrUnsupported }

func unlockFile(*os.File) error { return nil }

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
