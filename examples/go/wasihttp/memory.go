// This file is the memory in which the host leaves what imports give.

package wasihttp

import (
	"encoding/binary"
	"unsafe"
)

// An area is where an import leaves a result that is more than one number.
type area [7]uint64

// result is read before the next import is called, so one is enough.
var result area

func u8(at int) byte    { return byte(result[at/8] >> (at % 8 * 8)) }
func u32(at int) uint32 { return uint32(result[at/8] >> (at % 8 * 8)) }

// A shelf is memory that the host, or the adapter for wasi_snapshot_preview1, may ask for in the middle of
// an import. No Go memory is allocated then: that could begin a garbage collection, which reads the clock,
// and a component may not call an import from there.
type shelf struct {
	_     [0]uint64
	bytes [256 << 10]byte
	used  uint32
}

//go:nosplit
func (s *shelf) take(align, size uint32) unsafe.Pointer {
	start := (s.used + align - 1) &^ (align - 1)
	s.used = start + size
	return unsafe.Pointer(unsafe.SliceData(s.bytes[start:s.used]))
}

// received holds the strings and lists of one import; adapter's part is asked for once and kept.
var received, adapter shelf

//go:wasmexport cabi_import_realloc
//go:nosplit
func importRealloc(_ unsafe.Pointer, _, align, size uint32) unsafe.Pointer {
	return received.take(align, size)
}

//go:wasmexport cabi_realloc_adapter
//go:nosplit
func adapterRealloc(_ unsafe.Pointer, _, align, size uint32) unsafe.Pointer {
	return adapter.take(align, size)
}

// expect makes room for what the next import gives.
func expect() { received.used = 0 }

// list is the list<u8> or string of which the result holds address and length.
func list(at int) []byte { return bytesAt(u32(at), u32(at+4)) }

func bytesAt(address, length uint32) []byte {
	if length == 0 {
		return nil
	}
	start := address - uint32(uintptr(unsafe.Pointer(&received.bytes)))
	return received.bytes[start:][:length]
}

// pairs is a list<tuple<string, list<u8>>>.
func pairs(at int) [][2]string {
	entries := make([][2]string, u32(at+4))
	table := bytesAt(u32(at), u32(at+4)*16)
	for i := range entries {
		entry := table[i*16:]
		number := binary.LittleEndian.Uint32
		entries[i][0] = string(bytesAt(number(entry), number(entry[4:])))
		entries[i][1] = string(bytesAt(number(entry[8:]), number(entry[12:])))
	}
	return entries
}
