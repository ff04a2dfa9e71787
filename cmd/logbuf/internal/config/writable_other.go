//go:build !unix

package config

// writable finds out nothing here: the rights of a directory are told by trying.
func writable(string) error { return nil }
