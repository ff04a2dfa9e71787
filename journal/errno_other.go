//go:build !unix && !windows

package journal

func isFullHere(error) bool { return false }
