;; Asks for 2^64 - 1 random bytes.
;; promised: 500 plugin-failed
;; counted: random
;; logged: it trapped
(func $attack (call $random-bytes (i64.const -1) (i32.const 64)))
