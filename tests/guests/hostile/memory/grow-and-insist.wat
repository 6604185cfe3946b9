;; Traps because it got no more memory.
;; promised: 500 plugin-failed
;; counted: memory
;; logged: it trapped after it was refused more than 16777216 bytes of memory
(func $attack (if (i32.eq (memory.grow (i32.const 10000)) (i32.const -1)) (then (unreachable))))
