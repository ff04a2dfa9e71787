//go:build unix

package config

import "golang.org/x/sys/unix"

// writable tells why this process may not make files in a directory.
func writable(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}
