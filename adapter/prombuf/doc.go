// Package prombuf shows the counters of a recorder to Prometheus.
package prombuf
