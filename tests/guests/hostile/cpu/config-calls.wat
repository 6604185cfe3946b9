;; Reads its configuration without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
;; form: lean
(data (i32.const 1024) "key")
(func $attack
    (loop $on
        (call $configured (i32.const 1024) (i32.const 3) (i32.const 64))
        (br $on)))
