;; Jumps through a table of branches without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (local $value i32)
    (loop $on
        (block $c (block $b (block $a
            (br_table $a $b $c $on (i32.rem_u (local.get $value) (i32.const 5))))
            (local.set $value (i32.add (local.get $value) (i32.const 1))) (br $on))
            (local.set $value (i32.mul (local.get $value) (i32.const 5))) (br $on))
        (local.set $value (i32.xor (local.get $value) (i32.const 77)))
        (br $on)))
