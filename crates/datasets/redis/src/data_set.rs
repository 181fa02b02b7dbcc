//! The verbs of the data set: each leads into the part of the store that knows it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use plan::Result;
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{
    Context, DataSet, Discard, Dump, Findings, KeyChanges, KeyRepairs, Leftover, LiveKeys, MergesKeys, Place, Problem, Road, Share,
    Snapshot, Staged, StoreKind, Undone,
};

use crate::dump::RedisDump;
use crate::store::RedisStore;

impl DataSet for RedisStore {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        Ok(StoreKind::Redis)
    }

    fn parts(&self, context: &Context) -> Result<BTreeMap<String, String>> {
        self.parts_of_servers(context)
    }

    fn spare(&self, other: Arc<dyn DataSet>) {
        self.spared.add(other);
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        self.look_at(context)
    }

    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        self.fits_into(context, kept, road)
    }

    fn road(&self, context: &Context, findings: &Findings, kept: &KeptDataSet) -> Result<(Road, Option<Problem>)> {
        self.road_of(context, findings, kept)
    }

    fn shares(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Share>> {
        self.shares_of(context, kept, road)
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        drop(self.connect_all(context)?);
        Ok(Box::new(RedisDump::begin(self, context)?))
    }

    fn reserve(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Place> {
        self.reserve_place(context, kept, road)
    }

    fn release(&self, context: &Context) -> Result<()> {
        self.release_claims(context)
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.stage_into(context, &self.placed(place)?.for_set(kept), &snapshot, kept)
    }

    fn rest(&self, kept: &KeptDataSet, road: Road) -> Option<String> {
        self.rest_of(kept, road)
    }

    fn load_rest(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.load_rest_at(context, &self.placed(place)?, &snapshot, kept)
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        self.prove_at(context, &self.placed(place)?.for_set(kept), kept)
    }

    fn staged(&self, place: &Place) -> Result<Option<Staged>> {
        Ok(Self::staged_at(&self.placed(place)?))
    }

    fn ask_staged(&self, context: &Context, place: &Place, words: &[String], answer: &mut dyn Write) -> Result<()> {
        self.answer(context, &self.placed(place)?, words, answer)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        self.swap_in(context, &self.placed(place)?)
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        self.swap_back(context, &self.placed(place)?)
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.check_discard_at(context, &self.placed(place)?, what)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.discard_at(context, &self.placed(place)?, what)
    }

    fn tidy(&self, context: &Context, place: &Place) -> Result<()> {
        self.tidy_at(context, &self.placed(place)?)
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        self.kept_bytes_at(context, &self.placed(place)?)
    }

    fn change_keys(&self, context: &Context, place: &Place, database: &str, changes: &mut dyn KeyChanges) -> Result<()> {
        self.change_keys_at(context, &self.placed(place)?, database, changes)
    }

    fn changes_lack(&self, context: &Context) -> Result<Option<Problem>> {
        self.rewrite_lacks(context)
    }

    fn merges_keys(&self) -> Option<&dyn MergesKeys> {
        Some(self)
    }

    fn live_keys(&self) -> Option<&dyn LiveKeys> {
        Some(self)
    }

    fn key_repairs(&self) -> Option<&dyn KeyRepairs> {
        Some(self)
    }

    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        self.find_leftovers(context)
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        self.remove_left(context, leftover)
    }
}
