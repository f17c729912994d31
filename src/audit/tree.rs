//! Merkle tree of RFC 6962 §2.1 (SHA-256), which grows leaf by leaf. It keeps the roots of its perfect subtrees only: a
//! tree of any size is a few hundred bytes.

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};

/// Hash of a leaf, of a node, or of a whole tree.
pub type TreeHash = [u8; SHA256_OUTPUT_LEN];

/// Merkle tree over the leaves that were appended so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MerkleTree {
    size: u64,
    /// Roots of the perfect subtrees, from the largest: one for each bit of the size.
    subtrees: Vec<TreeHash>,
}

impl MerkleTree {
    /// Tree that goes on from the roots of its perfect subtrees, from the largest; `None` where their number is wrong.
    pub fn of_subtrees(size: u64, roots: &[u8]) -> Option<Self> {
        let (subtrees, rest) = roots.as_chunks::<SHA256_OUTPUT_LEN>();
        let fits = rest.is_empty() && u32::try_from(subtrees.len()) == Ok(size.count_ones());
        fits.then(|| Self { size, subtrees: subtrees.to_vec() })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, from the largest, as bytes.
    pub fn subtrees(&self) -> Vec<u8> {
        self.subtrees.concat()
    }

    /// Appends a leaf.
    pub fn append(&mut self, leaf: &[u8]) {
        let mut hash = hash(&[&[0], leaf]);
        // Each bit that the addition of one carries over joins two subtrees of one size.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.subtrees.pop() else { break };
            hash = node(&left, &hash);
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// Returns the hash of the whole tree.
    pub fn root(&self) -> TreeHash {
        let joined = self.subtrees.iter().rev().copied().reduce(|right, left| node(&left, &right));
        joined.unwrap_or_else(|| hash(&[]))
    }
}

/// Hash of a node, in one call: a context would cost as much as the hash.
fn node(left: &TreeHash, right: &TreeHash) -> TreeHash {
    let mut bytes = [1; 1 + 2 * SHA256_OUTPUT_LEN];
    bytes[1..=SHA256_OUTPUT_LEN].copy_from_slice(left);
    bytes[1 + SHA256_OUTPUT_LEN..].copy_from_slice(right);
    hash(&[&bytes])
}

fn hash(parts: &[&[u8]]) -> TreeHash {
    let digest = match parts {
        [bytes] => digest::digest(&SHA256, bytes),
        parts => {
            let mut context = digest::Context::new(&SHA256);
            for part in parts {
                context.update(part);
            }
            context.finish()
        }
    };
    let mut hash = TreeHash::default();
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hash of a tree by the recursive definition of RFC 6962 §2.1.
    fn defined(leaves: &[Vec<u8>]) -> TreeHash {
        match leaves {
            [] => hash(&[]),
            [leaf] => hash(&[&[0], leaf]),
            leaves => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn each_size_has_the_root_of_the_definition_and_goes_on_from_its_subtrees() {
        let leaves: Vec<Vec<u8>> = (0..70_u8).map(|number| vec![number; usize::from(number % 7)]).collect();
        let mut tree = MerkleTree::default();
        for (size, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), defined(&leaves[..size]), "{size}");
            tree = MerkleTree::of_subtrees(tree.size(), &tree.subtrees()).unwrap();
            tree.append(leaf);
        }
        assert_eq!(tree.root(), defined(&leaves));
        assert_eq!(MerkleTree::of_subtrees(71, &tree.subtrees()), None);
        assert_eq!(MerkleTree::of_subtrees(70, &tree.subtrees()[1..]), None);
    }

    /// The vectors of Certificate Transparency's own tests.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let mut tree = MerkleTree::default();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(tree.root()), empty);
        for leaf in leaves {
            tree.append(&hex::decode(leaf).unwrap());
        }
        let root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        assert_eq!(hex::encode(tree.root()), root);
    }
}
