;; Writes to a table, and answers 299 if it finds what an earlier call wrote.
;; promised: 200
;; counted: ok
;; calls: 20
(table $table 5000 funcref)
(elem declare func $attack)
(func $attack
    (if (i32.eqz (ref.is_null (table.get $table (i32.const 4999)))) (then (global.set $status (i32.const 299))))
    (table.fill $table (i32.const 0) (ref.func $attack) (i32.const 5000)))
