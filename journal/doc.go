// Package journal writes and reads archives: durable, checksummed, numbered records in segment files.
package journal
