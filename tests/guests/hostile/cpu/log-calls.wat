;; Logs lines without pause: the first 64 are kept, the rest are counted.
;; promised: 504 cpu
;; counted: cpu
;; logged: plugin said more than its limits
;; form: lean
(data (i32.const 1024) "a line that nobody wants to read")
(func $attack
    (loop $on
        (call $log (i32.const 2) (i32.const 1024) (i32.const 1) (i32.const 1024) (i32.const 32))
        (br $on)))
