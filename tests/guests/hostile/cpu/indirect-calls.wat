;; Calls functions through a table without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(type $step (func (param i32) (result i32)))
(table $table funcref (elem $up $down))
(func $up (type $step) (i32.add (local.get 0) (i32.const 3)))
(func $down (type $step) (i32.sub (local.get 0) (i32.const 1)))
(func $attack (local $value i32)
    (loop $on
        (local.set $value
            (call_indirect $table (type $step) (local.get $value) (i32.and (local.get $value) (i32.const 1))))
        (br $on)))
