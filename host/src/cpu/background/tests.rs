#[cfg(target_os = "linux")]
#[test]
fn a_thread_that_is_started_from_there_to_block_is_an_ordinary_one() {
    use tokio::runtime::{Builder, Handle};

    use super::{Background, is_this_thread, kernel};

    let is_ordinary = |home: &mut Builder| {
        let home = home.enable_time().build().unwrap();
        home.block_on(async {
            let background = Background::start(|| {}).unwrap();
            let at_home = Handle::current();
            let from_there = background.threads().spawn(async move {
                assert!(is_this_thread());
                let blocking = {
                    let _inside = at_home.enter();
                    tokio::task::spawn_blocking(|| kernel::Thread::this().is_ordinary())
                };
                blocking.await.unwrap()
            });
            (from_there.await.unwrap(), background.can_come_back())
        })
    };
    let (without, can_come_back) = is_ordinary(&mut Builder::new_multi_thread());
    assert_eq!(without, !can_come_back, "what it is for");
    let (with, _) = is_ordinary(Builder::new_multi_thread().on_thread_start(kernel::stay_ordinary()));
    assert!(with);
}
