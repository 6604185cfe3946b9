;; Reads a key that is not there without pause: the first time from the disk, then from what the host keeps in memory.
;; promised: 504 wall
;; counted: wall
;; logged: it was not done by its deadline
;; form: lean
;; limits: cpu = "10s", wall = "200ms"
;; grants: keyvalue = true
(data (i32.const 1024) "key")
(func $attack
    (call $open (i32.const 1024) (i32.const 0) (i32.const 64))
    (loop $on
        (call $get (i32.load (i32.const 68)) (i32.const 1024) (i32.const 3) (i32.const 128))
        (br $on)))
