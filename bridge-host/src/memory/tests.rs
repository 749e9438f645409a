use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proto::limits::MAX_FRAME;

use super::*;

const KIB: usize = 1 << 10;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// A pool of `pool` bytes, and what a session may reserve without it.
fn pool_of(pool: usize, sessions: usize) -> (Arc<MemoryPool>, usize) {
    let pool = MemoryPool::new(pool + sessions * SURE_SHARE, sessions, 0);
    (pool, SURE_SHARE / 3)
}

/// The memory of a session, with its share if there is one.
fn with_share(pool: &Arc<MemoryPool>) -> Arc<SessionMemory> {
    let memory = pool.session();
    memory.take_share();
    memory
}

fn is_ready<T>(future: impl Future<Output = T>) -> bool {
    matches!(pin!(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

#[test]
fn all_bytes_come_back() {
    run(async {
        let (pool, _) = pool_of(16 << 20, 4);
        let free = pool.free.available_permits();
        let session = with_share(&pool);
        let mut first = session.reserve(MAX_SESSION).await;
        assert!(session.try_reserve(1).is_none());
        first.shrink_to(100 * KIB);
        let second = session.reserve(KIB).await.keep();
        first.join(session.try_reserve(300 * KIB).unwrap());
        drop((first, second));
        assert_eq!(pool.free.available_permits(), free);
        assert_eq!(session.room.available_permits(), MAX_SESSION);
        let ledger = session.ledger();
        assert_eq!((ledger.reserved, ledger.kept, ledger.of_pool), (0, 0, 0));
    });
}

#[test]
fn a_sure_share_stays_when_the_pool_is_used_up() {
    run(async {
        let (pool, sure) = pool_of(8 << 20, 8);
        let greedy: Vec<_> = (0..6).map(|_| with_share(&pool)).collect();
        let mut held = Vec::new();
        for session in &greedy {
            while let Some(reserved) = session.try_reserve(64 * KIB) {
                held.push(reserved);
            }
        }
        assert!(pool.free.available_permits() < 64 * KIB);
        let modest = with_share(&pool);
        let sure = modest.try_reserve(sure).unwrap();
        assert!(!is_ready(modest.reserve(64 * KIB)));
        drop(held);
        assert!(is_ready(modest.reserve(64 * KIB)));
        drop(sure);
    });
}

#[test]
fn what_the_sure_share_suffices_for_goes_back_to_the_pool() {
    run(async {
        let (pool, sure) = pool_of(16 << 20, 1);
        let free = pool.free.available_permits();
        let session = with_share(&pool);
        let first = session.reserve(sure).await;
        let second = session.reserve(sure).await;
        assert_eq!(pool.free.available_permits(), free - sure);
        drop(first);
        assert_eq!(pool.free.available_permits(), free);
        drop(second);
    });
}

#[test]
fn a_cancelled_reservation_takes_nothing() {
    run(async {
        let (pool, _) = pool_of(8 << 20, 8);
        let free = pool.free.available_permits();
        let greedy: Vec<_> = (0..4).map(|_| with_share(&pool)).collect();
        let mut held = Vec::new();
        for session in &greedy {
            held.push(session.reserve(MAX_SESSION).await);
        }
        let session = with_share(&pool);
        {
            let mut waits = pin!(session.reserve(MAX_SESSION));
            assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            held.truncate(3);
            assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
        {
            let _room = session.reserve(MAX_SESSION - KIB).await;
            assert!(!is_ready(session.reserve(2 * KIB)));
        }
        assert!(!is_ready(async {
            let _first = session.reserve(MAX_SESSION).await;
            with_share(&pool).reserve(MAX_SESSION).await
        }));
        drop(held);
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(pool.free.available_permits(), free);
        assert_eq!(session.room.available_permits(), MAX_SESSION);
    });
}

#[test]
fn sure_shares_shrink_to_half_of_the_memory() {
    let pool = MemoryPool::new(64 << 20, 10_000, 0);
    assert!(pool.sure_share * 10_000 <= 32 << 20);
    assert!(pool.free.available_permits() >= 32 << 20);
    assert_eq!(MemoryPool::new(DEFAULT_MEMORY, 2048, 0).sure_share, SURE_SHARE);
}

#[test]
fn a_share_is_free_again_after_its_session() {
    let (pool, sure) = pool_of(8 << 20, 1);
    let sure_of = |session: &SessionMemory| session.ledger().sure;
    // A connection that has asked for nothing takes none.
    let silent = pool.session();
    let first = with_share(&pool);
    assert_eq!((sure_of(&first), sure_of(&silent), sure_of(&with_share(&pool))), (sure, 0, 0));
    first.take_share();
    drop(first);
    silent.take_share();
    assert_eq!((sure_of(&silent), sure_of(&with_share(&pool))), (sure, 0));
}

#[test]
fn a_share_that_is_taken_later_frees_bytes_of_the_pool() {
    let (pool, sure) = pool_of(8 << 20, 1);
    let session = pool.session();
    let reserved = session.try_reserve(sure).unwrap();
    let free = pool.free.available_permits();
    session.take_share();
    assert_eq!(pool.free.available_permits(), free + sure);
    drop(reserved);
    assert_eq!(pool.free.available_permits(), free + sure);
}

#[test]
fn a_session_without_progress_stalls_unless_it_is_within_its_share() {
    run(async {
        let (pool, sure) = pool_of(8 << 20, 2);
        let session = with_share(&pool);
        let _held = session.reserve(sure).await;
        assert!(timeout(4 * STALL_TIMEOUT, session.stalled()).await.is_err());
        let more = session.reserve(1).await;
        session.stalled().await;
        drop(more);
        assert!(timeout(4 * STALL_TIMEOUT, session.stalled()).await.is_err());
    });
}

#[test]
fn a_drip_of_bytes_is_not_progress() {
    run(async {
        let (pool, _) = pool_of(8 << 20, 2);
        let session = with_share(&pool);
        let _held = session.reserve(MAX_SESSION).await;
        let begin = session.ledger().progress.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        session.moved(PROGRESS - 1);
        assert_eq!(session.ledger().progress, Some(begin));
        session.moved(1);
        assert!(session.ledger().progress > Some(begin));
    });
}

#[test]
fn what_is_kept_stalls_only_while_others_wait() {
    run(async {
        let (pool, _) = pool_of(8 << 20, 8);
        let keeper = with_share(&pool);
        let _kept = keeper.reserve(MAX_SESSION).await.keep();
        assert!(timeout(4 * STALL_TIMEOUT, keeper.stalled()).await.is_err());
        let others: Vec<_> = (0..4).map(|_| with_share(&pool)).collect();
        let wait = async {
            let mut held = Vec::new();
            for session in &others {
                held.push(session.reserve(MAX_SESSION).await);
            }
        };
        tokio::select! {
            () = keeper.stalled() => {}
            () = wait => panic!("the pool sufficed"),
        }
    });
}

#[test]
fn a_large_request_does_not_hold_up_small_ones_for_ever() {
    run(async {
        let (pool, sure) = pool_of(8 << 20, 8);
        let holders: Vec<_> = (0..4).map(|_| with_share(&pool)).collect();
        let mut held = Vec::new();
        for session in &holders {
            held.push(session.reserve(MAX_SESSION - 64 * KIB).await);
        }
        let (large, small) = (with_share(&pool), with_share(&pool));
        tokio::select! {
            biased;
            _ = large.reserve(MAX_SESSION) => panic!("the holders have not let go"),
            _ = small.reserve(sure + 64 * KIB) => {}
        }
    });
}

#[test]
fn streams_need_nothing_of_the_pool_and_take_nothing_of_it() {
    run(async {
        for total in [MIN_MEMORY, DEFAULT_MEMORY] {
            let streams = most_streams(total);
            let pool = MemoryPool::new(total, total / 2 / SURE_SHARE, streams);
            // What is set apart for them is not in the pool, of which something is left.
            let free = pool.free.available_permits();
            assert!(
                free >= MAX_FRAME && free + total / 2 + streams * pool.stream_share <= total + SURE_SHARE
            );
            pool.free.acquire_many(permits(free)).await.unwrap().forget();
            let memories: Vec<_> = (0..streams).map(|_| pool.stream()).collect();
            let mut held = Vec::new();
            for memory in &memories {
                // A message that the gateway works on, and then another.
                held.push(memory.reserve(MAX_STREAM_FRAME).await);
                assert!(memory.try_reserve(pool.stream_share).is_none());
                assert!(!is_ready(memory.stalled()));
            }
            drop(held);
            assert_eq!(pool.free.available_permits(), 0);
        }
    });
}
