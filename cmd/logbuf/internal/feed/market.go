package feed

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
)

// epoch is where the simulated clock begins: 2026-01-02 14:30:00 UTC, in ms.
const epoch = 1_767_364_200_000

// market is the state of one symbol: a price that wanders, counters, a clock.
type market struct {
	symbol string
	rng    *rand.Rand
	cents  int64 // the price
	nowMs  int64 // the simulated clock
	trades uint64
	books  uint64
}

func newMarket(symbol string, rng *rand.Rand) market {
	return market{symbol: symbol, rng: rng, cents: 50_000 + rng.Int64N(9_000_000), nowMs: epoch}
}

func (m *market) tick() {
	m.nowMs += m.rng.Int64N(3)
	m.cents = max(100, m.cents+m.rng.Int64N(201)-100)
}

func (m *market) appendTrade(b []byte) []byte {
	m.trades++
	b = m.appendHead(b, "trade")
	b = append(b, `,"t":`...)
	b = strconv.AppendUint(b, m.trades, 10)
	b = append(b, `,"p":"`...)
	b = appendFixed(b, m.cents, 2)
	b = append(b, `","q":"`...)
	b = appendFixed(b, 1+m.rng.Int64N(5_000_000), 6)
	b = append(b, `","m":`...)
	b = strconv.AppendBool(b, m.rng.IntN(2) == 0)
	return append(b, '}')
}

// appendBook makes a depth update of n levels on each side.
func (m *market) appendBook(b []byte, n int) []byte {
	m.books++
	b = m.appendHead(b, "depth")
	b = append(b, `,"u":`...)
	b = strconv.AppendUint(b, m.books, 10)
	b = m.appendSide(append(b, `,"b":[`...), n, -1)
	b = m.appendSide(append(b, `],"a":[`...), n, 1)
	return append(b, ']', '}')
}

// appendSnapshot makes a book snapshot of at most size bytes, and not much less.
func (m *market) appendSnapshot(b []byte, size int) []byte {
	b = m.appendHead(b, "snapshot")
	b = append(b, `,"b":[`...)
	for i := int64(0); len(b) < size-48; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.appendLevel(b, max(1, m.cents-i))
	}
	return append(b, ']', '}')
}

func (m *market) appendHeartbeat(b []byte) []byte {
	return append(m.appendHead(b, "heartbeat"), '}')
}

// appendDelta makes a binary update: a header of 16 bytes, then n levels of 16.
func (m *market) appendDelta(b []byte, n int) []byte {
	m.books++
	b = append(b, 'L', 'B', 1, byte(n), 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, m.books)
	for range n {
		b = binary.LittleEndian.AppendUint64(b, uint64(m.cents+m.rng.Int64N(200)-100))
		b = binary.LittleEndian.AppendUint64(b, m.rng.Uint64N(5_000_000))
	}
	return b
}

func (m *market) appendHead(b []byte, event string) []byte {
	b = append(b, `{"e":"`...)
	b = append(b, event...)
	b = append(b, `","s":"`...)
	b = append(b, m.symbol...)
	b = append(b, `","E":`...)
	return strconv.AppendInt(b, m.nowMs, 10)
}

func (m *market) appendSide(b []byte, n int, sign int64) []byte {
	for i := range int64(n) {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.appendLevel(b, max(1, m.cents+sign*(i+1)))
	}
	return b
}

func (m *market) appendLevel(b []byte, cents int64) []byte {
	b = append(b, `["`...)
	b = appendFixed(b, cents, 2)
	b = append(b, `","`...)
	b = appendFixed(b, m.rng.Int64N(9_000_000), 6)
	return append(b, `"]`...)
}

// appendFixed appends v with decimals digits after the point; v is not negative.
func appendFixed(b []byte, v int64, decimals int) []byte {
	unit := int64(1)
	for range decimals {
		unit *= 10
	}
	b = strconv.AppendInt(b, v/unit, 10)
	b = append(b, '.')
	for f := v % unit; unit > 1; f %= unit {
		unit /= 10
		b = append(b, byte('0'+f/unit))
	}
	return b
}
