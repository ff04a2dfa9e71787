//go:build !unix

package journal

func isQuota(error) bool { return false }
