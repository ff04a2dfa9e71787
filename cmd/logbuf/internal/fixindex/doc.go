// Package fixindex finds FIX messages in an archive by MsgSeqNum (34), and sums
// up its sessions.
//
// What it knows of a segment is derived from its records in one pass: where which
// numbers of which sender are, and what the sequences look like behind it. For
// a segment that is finished, this is kept in a file, so that the next look need
// not read the segment. The files are in the subdirectory Dir of the archive;
// they can be removed at any time. One that is missing, damaged, or not of the
// segment that is there is made anew. Where they cannot be written everything
// works all the same.
//
// A session is known by its messages, not by its stream. Losses are recorded for streams,
// and belong to the session of that name.
package fixindex
