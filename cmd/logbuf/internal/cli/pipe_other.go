//go:build !windows

package cli

func isClosedPipeOS(error) bool { return false }
