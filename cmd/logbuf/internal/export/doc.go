// Package export writes records in the file formats of other programs: CSV, pcapng and Parquet. Each format has a Writer that is given one
// Row after another and keeps a bounded amount in memory, however many there are. Perfetto and EventsCSV write telemetry of package tracebuf.
package export
