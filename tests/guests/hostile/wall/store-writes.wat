;; Writes 1,000 bytes under one key after the other without pause: each write waits for the disk.
;; promised: 504 wall
;; counted: wall
;; logged: it was not done by its deadline
;; form: lean
;; limits: cpu = "10s", wall = "200ms"
;; grants: keyvalue = true
(func $attack (local $number i32)
    (call $open (i32.const 1024) (i32.const 0) (i32.const 64))
    (loop $on
        (i32.store16 (i32.const 1024) (i32.add (i32.const 0x4040)
            (i32.or (i32.and (local.get $number) (i32.const 0xf))
                (i32.shl (i32.and (local.get $number) (i32.const 0xf0)) (i32.const 4)))))
        (call $put (i32.load (i32.const 68)) (i32.const 1024) (i32.const 2) (i32.const 2048) (i32.const 1000)
            (i32.const 128))
        (local.set $number (i32.add (local.get $number) (i32.const 1)))
        (br $on)))
