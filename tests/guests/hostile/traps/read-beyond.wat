;; Reads four gigabytes beyond its memory.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (drop (i64.load offset=0xfffffff0 (i32.const -1))))
