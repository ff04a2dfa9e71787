/*
 * The two kinds of sleep of internal/park, as package recorder uses them, for
 * SPIN.
 *
 * Producers commit records. Behind some they only call Wake; behind others they
 * call Rouse and wait until the record is archived, as a WaitDurable does. The
 * archiver looks, announces one of the two sleeps, looks once more, and parks.
 * Steps between two atomic statements interleave in every way. What is checked:
 *
 *   nobody waits for ever    when nothing can go on any more, all that Rouse was
 *                            called for is archived (assertion)
 *   a sleep of Arm ends      and if the archiver is armed then, everything is
 *   an end                   producers get through under weak fairness (ltl ends)
 *
 * A nap ends by itself in the code; here it does with ALARM only, so that what
 * hangs on that is found.
 *
 * Each of these puts a defect in, and SPIN must find it:
 *
 *   -DNO_RELOOK      Doze is not followed by a second look
 *   -DWAKE_ONLY      who waits calls Wake
 *   -DSTALE_DISARM   Disarm does not take Doze back
 *   -DBLIND_ROUSE    Rouse makes the flag idle and sends, without a compare-and-swap
 */

#ifndef RECORDS
#define RECORDS 2
#endif
#define PRODUCERS 2

#define IDLE   0
#define ARMED  1
#define DOZING 2

byte committed, archived;
byte wanted;          /* all up to here has been waited for */
byte state;           /* park.Parker.state */
chan token = [1] of { bit };
byte finished;

/* Parker.end and the token, for a waker that has read s. */
inline finish(s)
{
	if
	:: atomic { state == s -> state = IDLE }; assert(len(token) == 0); token ! 1
	:: atomic { state != s -> skip }
	fi
}

inline wake()
{
	if
	:: state == ARMED -> finish(ARMED)
	:: else
	fi
}

inline rouse()
{
#ifdef WAKE_ONLY
	wake()
#else
	seen = state;
	if
#ifdef BLIND_ROUSE
	:: seen != IDLE -> state = IDLE; assert(len(token) == 0); token ! 1
#else
	:: seen != IDLE -> finish(seen)
#endif
	:: else
	fi
#endif
}

proctype producer()
{
	byte n, seen, target;

	do
	:: n < RECORDS ->
		atomic { committed++; target = committed };
		if
		:: skip; wake()
		:: atomic {
			if
			:: target > wanted -> wanted = target
			:: else
			fi
		   };
		   rouse();
		   archived >= target
		fi;
		n++
	:: else -> break
	od;
	finished++
}

inline look()
{
	last = committed;
	archived = last
}

inline disarm()
{
	seen = state;
	if
#ifdef STALE_DISARM
	:: seen == ARMED ->
#else
	:: seen != IDLE ->
#endif
		if
		:: atomic { state == seen -> state = IDLE }
		:: atomic { state != seen -> skip }; token ? _
		fi
	:: seen == IDLE -> token ? _
#ifdef STALE_DISARM
	:: seen == DOZING -> skip
#endif
	fi
}

proctype archiver()
{
	byte last, seen;

	do
	:: look();
		if
		:: state = ARMED; look()
#ifdef NO_RELOOK
		:: state = DOZING
#else
		:: state = DOZING; look()
#endif
		fi;
		if
		:: skip; disarm()  /* it found something */
		:: skip;
		   if
		   :: token ? _
#ifdef ALARM
		   :: skip; disarm()  /* the alarm */
#endif
		   :: timeout ->
			assert(archived >= wanted);
			assert(state != ARMED || archived == committed);
			break
		   fi
		fi
	od
}

init
{
	atomic { run producer(); run producer(); run archiver() }
}

ltl ends { <> (finished == PRODUCERS) }
