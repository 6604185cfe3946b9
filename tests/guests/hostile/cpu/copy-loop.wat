;; Copies 4 MiB of memory to and fro, each time with one instruction.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack
    (drop (memory.grow (i32.const 128)))
    (loop $on
        (memory.copy (i32.const 65536) (i32.const 0x410000) (i32.const 0x400000))
        (br $on)))
