/*
 * The park/wake handshake of package channel with closing, for SPIN.
 *
 * Two senders share the ring; each sends RECORDS records and closes its handle;
 * the last to close closes the ring. The receiver reads until the end. Steps
 * between two atomic statements interleave in every way. What is checked:
 *
 *   no stuck state   the receiver never sleeps for ever (invalid end state)
 *   nothing lost     at the end it has read every record (assertion)
 *   an end           it does reach the end under weak fairness (ltl ends)
 *
 * Names are those of the code: channel/receiver.go await and look, shared.go
 * Close, internal/park. A record is its commit; the ring's order is not the
 * matter here. ALARM lets the sleep end by itself at any time, as a deadline
 * or a context does.
 *
 * Each of these puts a defect in, and SPIN must find it:
 *
 *   -DNO_RELOOK      Arm is not followed by a second look
 *   -DNO_CLOSE_WAKE  the last Close does not wake
 *   -DEND_BY_COUNT   the end is decided by the number of senders, looked at
 *                    after the ring (the seed's lost last record)
 *   -DPLAIN_COMMIT   the commit sits in a store buffer while the sender loads
 *                    the flag (a release store where StoreLoad is needed)
 *   -DDISARM_LEAVES  Disarm does not take the token of a waker that won
 */

#ifndef RECORDS
#define RECORDS 2
#endif
#define SENDERS 2
#define TOTAL   (SENDERS * RECORDS)

byte committed;       /* records visible in the ring */
byte senders = SENDERS;
bool closed;          /* the ring: no commit follows */
bool armed;           /* park.Parker.state */
chan token = [1] of { bit };
byte received;
bool ended;

/* Parker.Wake: a load, and only then the compare-and-swap. The token is sent in
 * a step of its own. A full channel would block: it must never be. */
inline wake()
{
	if
	:: armed ->
		if
		:: atomic { armed -> armed = false }; assert(len(token) == 0); token ! 1
		:: atomic { !armed -> skip }
		fi
	:: else
	fi
}

proctype sender()
{
	byte n;
	bool buffered;

	do
	:: n < RECORDS ->
#ifdef PLAIN_COMMIT
		buffered = true;
		if
		:: atomic { committed++; buffered = false }   /* drained in time */
		:: skip                                       /* still in the buffer */
		fi;
		wake();
		atomic {
			if
			:: buffered -> committed++; buffered = false
			:: else
			fi
		};
#else
		committed++;
		wake();
#endif
		n++
	:: else -> break
	od;

#ifndef OPEN
	/* Close */
	bool last;
	atomic { senders--; last = (senders == 0) };
	if
	:: last ->
		closed = true;
#ifndef NO_CLOSE_WAKE
		wake()
#endif
	:: else
	fi
#endif
}

/* look: ready, or drained. Two loads, in the order of the code. */
inline look()
{
	over = false; eof = false;
	if
	:: committed > received -> over = true
	:: else ->
#ifdef END_BY_COUNT
		if
		:: senders == 0 -> over = true; eof = true
		:: else
		fi
#else
		if
		:: closed ->  /* the last position is fixed: compare with it */
			if
			:: committed == received -> over = true; eof = true
			:: else
			fi
		:: else
		fi
#endif
	fi
}

inline disarm()
{
	if
	:: atomic { armed -> armed = false }
#ifdef DISARM_LEAVES
	:: atomic { !armed -> skip }
#else
	:: atomic { !armed -> skip }; token ? _
#endif
	fi
}

proctype receiver()
{
	bool over, eof;

	do
#ifdef OPEN
	:: received == TOTAL -> break
	:: received < TOTAL ->
#else
	::
#endif
		look();
		if
		:: over && eof -> break
		:: over && !eof -> received++
		:: !over && senders == 0 -> skip  /* poll: nobody will wake us */
		:: !over && senders > 0 ->
			armed = true;
#ifdef NO_RELOOK
			over = false;
#else
			look();
#endif
			if
			:: over || senders == 0 -> disarm()
			:: else ->
				if
				:: token ? _
#ifdef ALARM
				:: disarm()
#endif
				fi
			fi
		fi
	od;
	assert(received == TOTAL);
#ifndef OPEN
	assert(len(token) == 0);
#endif
	ended = true
}

init
{
	atomic { run sender(); run sender(); run receiver() }
}

ltl ends { <> ended }
