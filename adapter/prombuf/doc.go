// Package prombuf shows the counters of a recorder to Prometheus.
//
//	rec, err := recorder.Open("day1", nil)
//	…
//	prometheus.MustRegister(prombuf.NewCollector(rec.Stats))
//
// It calls Recorder.Stats at each scrape and keeps nothing itself: no producer
// and no archiver ever calls into it, and a program that is not scraped pays
// nothing. Stats takes no lock that is held during I/O, so that a disk that
// stands still is seen in the numbers and does not hold up the scrape.
//
// A program with several recorders tells them apart by a label of its own:
//
//	reg := prometheus.WrapRegistererWith(prometheus.Labels{"archive": "day1"}, prometheus.DefaultRegisterer)
//	reg.MustRegister(prombuf.NewCollector(day1.Stats))
//
// # Metrics
//
// Of each stream, label stream:
//
//	logbuf_records_total               records in the archive
//	logbuf_payload_bytes_total         their payload
//	logbuf_lost_records_total          records that the archive does not have, by label reason: overload, too large,
//	                                   closed, source gap, write error, stalled. Each is there from the start, as 0.
//	logbuf_lost_payload_bytes_total    their payload, as far as it is known
//	logbuf_gaps_total                  losses of an unknown number of records, such as a lost connection
//	logbuf_refused_records_total       records refused with an error, which their caller knows about
//	logbuf_ring_records                records in the ring
//	logbuf_ring_used_bytes             ring memory they take
//	logbuf_ring_high_water_bytes       most of it since the start
//	logbuf_ring_capacity_bytes         size of the ring; 0 when no producer is open
//	logbuf_stalled_claim_seconds       how long an open claim has held up a shared ring
//	logbuf_abandoned_claims_total      claims that were passed while open
//
// Of the recorder and its archive:
//
//	logbuf_undurable_records           offered and not yet durable
//	logbuf_undurable_bytes             what they take in rings and files
//	logbuf_undurable_seconds           durability lag: age of the oldest write that is not durable
//	logbuf_batch_records               histogram: what is appended at a time
//	logbuf_batch_bytes                 histogram: the same in bytes
//	logbuf_write_seconds               histogram: writes of blocks
//	logbuf_sync_seconds                histogram: syncs (fsync) that succeeded
//	logbuf_sync_errors_total           those that failed
//	logbuf_archive_bytes_total         bytes written, headers included
//	logbuf_blocks_total                blocks written
//	logbuf_segments_total              segments begun
//	logbuf_trimmed_segments_total      removed by retention
//	logbuf_compressed_segments_total   compressed
//	logbuf_segment_bytes               size of the segment being written
//	logbuf_next_sequence               sequence of the next record
//	logbuf_durable_sequence            first sequence that is not durable
//	logbuf_takeovers_total             segments that took over from one that had failed
//	logbuf_retained_bytes              memory held for that
//	logbuf_reserve_bytes               disk space held for a full disk
//	logbuf_lane_memory_bytes           memory of all rings, as it counts against
//	logbuf_lane_memory_limit_bytes     the limit
//	logbuf_urgent_memory_bytes         memory of the rings of urgent streams, included above
//	logbuf_clock_steps_total           steps of the wall clock, noted in the archive
//	logbuf_disk_full                   1 while the last attempt to write found the disk full
//	logbuf_full_writes_total           writes that did
//	logbuf_disk_free_bytes             space left, as of the last look, a few seconds ago
//	logbuf_disk_size_bytes             of how much
//	logbuf_disk_full_in_seconds        when it will be full at the rate of the last minutes; +Inf when it is not filling
//	logbuf_retention_held              1 while something, such as a cursor, keeps retention or compression from their work
//	logbuf_failed                      1 when an error has stopped the recorder
//
// The three about the disk are missing where the system has no answer. All
// counters are since the recorder was opened.
//
// docs/monitoring has a Grafana dashboard and alert rules for them,
// docs/OPERATIONS.md says what to do about each alert.
package prombuf
