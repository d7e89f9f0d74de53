//! The heap for keys: what is too long-lived or too large for a stack, in pages of
//! [`pages`](super::pages).
//!
//! An allocator for [`Box`](allocator_api2::boxed::Box) and [`Vec`](allocator_api2::vec::Vec). It
//! gives cells of a power of two, of 64 bytes to 16 KiB, from pages mapped 64 KiB at a time, and
//! pages of their own to what is larger.
//!
//! Invariants:
//!
//! 1. A cell is wiped when it is given back, so every cell is zeroes when it is given out.
//! 2. Cells are never split nor joined: a cell is of one class for good.
//!
//! It is the process's, as every heap is: engines share room in it, never contents. Pages of cells
//! stay mapped for the next key; their number is bounded by the most keys there ever were at once.
//!
//! Cost: about 30 ns to take and give back a cell of 32 bytes.

#![expect(unsafe_code, reason = "an allocator hands out memory that it alone knows")]

use core::alloc::Layout;
use core::ptr::NonNull;
use std::sync::Mutex;

use allocator_api2::alloc::{AllocError, Allocator};
use crossbeam_queue::SegQueue;
use zeroize::Zeroize;

use super::pages::Pages;

/// The process's heap for keys, as an allocator.
#[derive(Clone, Copy)]
pub(super) struct KeyHeap;

// SAFETY: a cell is given to one owner until that gives it back; it stays at its address, because
// pages of cells are never unmapped and those of large blocks only when they are given back; every
// `KeyHeap` is the same heap, so any of them takes any cell back.
unsafe impl Allocator for KeyHeap {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let cell = match Class::of(layout) {
            Some(class) => class.take()?,
            None => take_large(layout)?,
        };
        Ok(NonNull::slice_from_raw_parts(cell, layout.size()))
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate(layout)
    }

    unsafe fn deallocate(&self, cell: NonNull<u8>, layout: Layout) {
        // SAFETY: by the trait's contract `cell` was given out for this layout and is not used any
        // more, so that its bytes are this function's alone.
        let bytes = unsafe { core::slice::from_raw_parts_mut(cell.as_ptr(), layout.size()) };
        bytes.zeroize();
        match Class::of(layout) {
            Some(class) => class.free().push(Cell(cell)),
            None => give_large(cell),
        }
    }
}

/// A size of cells.
#[derive(Clone, Copy)]
struct Class(usize);

impl Class {
    /// The class for `layout`; `None` if it takes pages of its own.
    fn of(layout: Layout) -> Option<Self> {
        let bytes = layout.size().max(layout.align()).max(CELL_BYTES_MIN).next_power_of_two();
        let class = bytes.trailing_zeros() - CELL_BYTES_MIN.trailing_zeros();
        usize::try_from(class).ok().filter(|&class| class < CLASSES).map(Self)
    }

    fn cell_bytes(self) -> usize {
        CELL_BYTES_MIN << self.0
    }

    #[expect(clippy::indexing_slicing, reason = "a class is less than CLASSES by its making")]
    fn free(self) -> &'static SegQueue<Cell> {
        &FREE[self.0]
    }

    fn take(self) -> Result<NonNull<u8>, AllocError> {
        match self.free().pop() {
            Some(Cell(cell)) => Ok(cell),
            None => self.grow(),
        }
    }

    /// Maps more cells, keeps all but one, and gives that out.
    #[cold]
    fn grow(self) -> Result<NonNull<u8>, AllocError> {
        let pages = Pages::map(GROWTH_BYTES).map_err(|_| AllocError)?;
        // Its cells are known to their owners and the free list only: it stays mapped for good.
        let pages: &'static Pages = Box::leak(Box::new(pages));
        let mut cells =
            (0..pages.bytes()).step_by(self.cell_bytes()).filter_map(|offset| pages.part(offset));
        let first = cells.next().ok_or(AllocError)?;
        cells.for_each(|cell| self.free().push(Cell(cell)));
        Ok(first)
    }
}

fn take_large(layout: Layout) -> Result<NonNull<u8>, AllocError> {
    let pages = Pages::map(layout.size()).map_err(|_| AllocError)?;
    let block = pages.part(0).filter(|_| layout.align() <= CELL_BYTES_MIN).ok_or(AllocError)?;
    LARGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(pages);
    Ok(block)
}

fn give_large(block: NonNull<u8>) {
    let mut large = LARGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(at) = large.iter().position(|pages| pages.part(0) == Some(block)) {
        large.swap_remove(at);
    }
}

/// A free cell.
struct Cell(NonNull<u8>);

// SAFETY: a free cell belongs to whoever takes it from the list, on any thread.
unsafe impl Send for Cell {}

static FREE: [SegQueue<Cell>; CLASSES] = [const { SegQueue::new() }; CLASSES];
/// Blocks larger than a cell: whole records of keystores, while they are read or written.
static LARGE: Mutex<Vec<Pages>> = Mutex::new(Vec::new());

const CELL_BYTES_MIN: usize = 64;
const CLASSES: usize = 9;
const GROWTH_BYTES: usize = 64 * 1024;
const _: () = assert!(CELL_BYTES_MIN << (CLASSES - 1) <= GROWTH_BYTES / 4);

#[cfg(test)]
mod tests {
    use allocator_api2::boxed::Box;
    use allocator_api2::vec::Vec;

    use super::*;

    #[test]
    fn cells_are_zeroes_when_given_out_and_never_overlap() {
        let mut held: std::vec::Vec<Vec<u8, KeyHeap>> = std::vec::Vec::new();
        for round in 0..2_000_usize {
            let len = 1 + (round * 7_919) % 40_000;
            let layout = Layout::array::<u8>(len).unwrap();
            let fresh = KeyHeap.allocate(layout).unwrap();
            // SAFETY: the block was given out just now, for this layout.
            unsafe {
                let bytes = core::slice::from_raw_parts(fresh.as_ptr().cast::<u8>(), len);
                assert!(bytes.iter().all(|&byte| byte == 0), "round {round}");
                KeyHeap.deallocate(fresh.cast(), layout);
            }
            let mut block = Vec::with_capacity_in(len, KeyHeap);
            block.resize(len, u8::try_from(round % 251).unwrap() + 1);
            held.push(block);
            if round % 3 == 2 {
                held.swap_remove(round % held.len());
            }
            if round % 100 == 0 {
                for block in &held {
                    assert!(block.iter().all(|byte| *byte == block[0]));
                }
            }
        }
    }

    #[test]
    fn threads_never_share_a_cell() {
        std::thread::scope(|scope| {
            for thread in 1..=4_u8 {
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let cells = [
                            Box::new_in([thread; 32], KeyHeap),
                            Box::new_in([thread; 32], KeyHeap),
                        ];
                        assert!(cells.iter().all(|cell| **cell == [thread; 32]));
                    }
                });
            }
        });
    }
}
