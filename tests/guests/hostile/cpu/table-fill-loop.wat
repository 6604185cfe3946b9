;; Fills a table of 19,000 elements over and over.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(table $table 19000 funcref)
(elem declare func $attack)
(func $attack
    (loop $on
        (table.fill $table (i32.const 0) (ref.func $attack) (i32.const 19000))
        (br $on)))
