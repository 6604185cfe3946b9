;; Logs lines of 30 KiB without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: plugin said more than its limits
;; form: lean
(func $attack
    (memory.fill (i32.const 1024) (i32.const 120) (i32.const 30000))
    (loop $on
        (call $log (i32.const 4) (i32.const 1024) (i32.const 1) (i32.const 1024) (i32.const 30000))
        (br $on)))
