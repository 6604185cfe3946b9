;; Fills 8 MiB of memory over and over, each time with one instruction.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack
    (drop (memory.grow (i32.const 128)))
    (loop $on
        (memory.fill (i32.const 65536) (i32.const 7) (i32.const 0x7f0000))
        (br $on)))
