//! What a stop, a freeze and a change of the key do to objects that are open.
