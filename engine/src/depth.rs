//! How deep queries may nest.
//!
//! Parsers, optimizers, codecs and operators walk expressions and plans by recursion, and dropping one recurses as well.
//! A chain of operators, such as `a + 1 + a + 1`, nests by one with each of them, however flat it looks. So each text is
//! looked at before it is parsed ([`check_text`]), each logical plan before it is optimised ([`check_plan`]) and each
//! stage before it is encoded ([`check_operators`]): what passes fits the stacks of [`STACK_BYTES`] on which jobs are
//! planned and run, in a build without optimisations too. None of the checks recurses.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::PlanError;

/// The stack of a thread that plans jobs, runs tasks or decodes plans.
pub const STACK_BYTES: usize = 128 << 20;

/// Operators and functions inside one another, through the expressions of all operators of a plan from a leaf to its
/// root: an optimizer puts projections into one another.
pub const MAX_DEPTH: usize = 1_000;

/// The same in a stage: an optimizer makes two operators of some.
const MAX_OPERATORS_DEPTH: usize = 2 * MAX_DEPTH;
/// The same in a text, where not all that counts nests.
const MAX_TEXT_DEPTH: usize = 2 * MAX_DEPTH;
/// Operators of a plan. A table expression is in it as often as it is named.
const MAX_NODES: usize = 100_000;

/// A query is more than can be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooDeep {
    /// It nests.
    #[error(
        "the query nests deeper than {MAX_DEPTH} levels; write a long chain of conditions as `IN (...)` or as a join \
         with a table of values, and a long calculation in steps with a file in between"
    )]
    Nested,
    /// It has too many operators.
    #[error(
        "the query has more than {MAX_NODES} operators once its views and table expressions are put in; write what is \
         used often to a file, and read that"
    )]
    Large,
}

impl From<TooDeep> for PlanError {
    fn from(error: TooDeep) -> Self {
        Self::TooDeep(error)
    }
}

/// What is known of the text between two parentheses, or of the whole.
#[derive(Default)]
struct Group {
    /// Depth that all of it is in.
    chained: usize,
    /// Of its deepest part that is over.
    deepest: usize,
    /// Operators of the part under way.
    operators: usize,
    /// The deepest group inside the part under way.
    inside: usize,
    /// Whether commas are joins.
    joins: bool,
}

impl Group {
    fn end_part(&mut self) {
        self.deepest = self.deepest.max(self.operators + self.inside);
        (self.operators, self.inside) = (0, 0);
    }

    fn depth(mut self) -> usize {
        self.end_part();
        self.chained + self.deepest
    }
}

/// Refuses a text of SQL that would be parsed to something deep. It is parsed only later: what is no SQL passes.
pub(crate) fn check_text(sql: &str) -> Result<(), TooDeep> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let mut outer: Vec<Group> = Vec::new();
    let mut group = Group::default();
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                group.operators += 1;
                outer.push(std::mem::take(&mut group));
                // The parser counts them itself, and the message is the same.
                if outer.len() > MAX_TEXT_DEPTH {
                    return Err(TooDeep::Nested);
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if let Some(around) = outer.pop() {
                    let depth = std::mem::replace(&mut group, around).depth();
                    group.inside = group.inside.max(depth);
                }
            }
            Token::Comma => {
                group.end_part();
                group.chained += usize::from(group.joins);
            }
            Token::SemiColon => group = Group::default(),
            Token::Word(word) => match word.keyword {
                Keyword::JOIN | Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => {
                    group.end_part();
                    group.chained += 1;
                }
                Keyword::FROM => {
                    group.end_part();
                    group.joins = true;
                }
                Keyword::SELECT | Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER => {
                    group.end_part();
                    group.joins = false;
                }
                Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::BETWEEN
                | Keyword::DIV
                | Keyword::MOD
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::OVERLAPS
                | Keyword::MEMBER
                | Keyword::OPERATOR
                | Keyword::CASE
                | Keyword::NOTNULL => group.operators += 1,
                _ => {}
            },
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Period
            | Token::EOF => {}
            _ => group.operators += 1,
        }
        if group.chained + group.operators + group.inside > MAX_TEXT_DEPTH {
            return Err(TooDeep::Nested);
        }
    }
    while let Some(mut around) = outer.pop() {
        around.inside = around.inside.max(group.depth());
        group = around;
    }
    match group.depth() > MAX_TEXT_DEPTH {
        true => Err(TooDeep::Nested),
        false => Ok(()),
    }
}

/// Refuses a logical plan that an optimizer would make something deep of, or never be done with.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), TooDeep> {
    let mut nodes = 0;
    // Plans of subqueries, with the depth that they are at.
    let mut subqueries: Vec<(Arc<LogicalPlan>, usize)> = Vec::new();
    let mut walk = |root: &LogicalPlan, depth: usize, subqueries: &mut Vec<_>| {
        let mut pending = vec![(root, depth)];
        while let Some((node, depth)) = pending.pop() {
            nodes += 1;
            if nodes > MAX_NODES {
                return Err(TooDeep::Large);
            }
            let mut deepest = 0;
            // The closure fails never.
            let _ = node.apply_expressions(|expr| {
                deepest = deepest.max(expr_depth(expr, depth, subqueries));
                Ok(TreeNodeRecursion::Continue)
            });
            let depth = depth + 1 + deepest;
            if depth > MAX_DEPTH {
                return Err(TooDeep::Nested);
            }
            pending.extend(node.inputs().into_iter().map(|input| (input, depth)));
        }
        Ok(())
    };
    walk(plan, 0, &mut subqueries)?;
    while let Some((subquery, depth)) = subqueries.pop() {
        walk(&subquery, depth, &mut subqueries)?;
    }
    Ok(())
}

/// How deep an expression is that is at a depth itself.
fn expr_depth(expr: &Expr, at: usize, subqueries: &mut Vec<(Arc<LogicalPlan>, usize)>) -> usize {
    let mut deepest = 0;
    let mut pending = vec![(expr, 0)];
    while let Some((expr, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        match expr {
            Expr::ScalarSubquery(subquery)
            | Expr::Exists(Exists { subquery, .. })
            | Expr::InSubquery(InSubquery { subquery, .. })
            | Expr::SetComparison(SetComparison { subquery, .. }) => {
                subqueries.push((Arc::clone(&subquery.subquery), at + depth));
            }
            _ => {}
        }
        let _ = expr.apply_children(|child| {
            pending.push((child, depth + 1));
            Ok(TreeNodeRecursion::Continue)
        });
    }
    deepest
}

/// Refuses the operators of a stage that whoever reads them could not take.
pub(crate) fn check_operators(plan: &Arc<dyn ExecutionPlan>) -> Result<(), TooDeep> {
    let mut nodes = 0;
    let mut pending = vec![(plan, 0)];
    while let Some((node, depth)) = pending.pop() {
        nodes += 1;
        if nodes > MAX_NODES {
            return Err(TooDeep::Large);
        }
        let mut deepest = 0;
        let _ = node.apply_expressions(&mut |expr| {
            deepest = deepest.max(physical_depth(expr));
            Ok(TreeNodeRecursion::Continue)
        });
        let depth = depth + 1 + deepest;
        if depth > MAX_OPERATORS_DEPTH {
            return Err(TooDeep::Nested);
        }
        pending.extend(node.children().into_iter().map(|child| (child, depth)));
    }
    Ok(())
}

fn physical_depth(expr: &Arc<dyn PhysicalExpr>) -> usize {
    let mut deepest = 0;
    let mut pending = vec![(expr, 0)];
    while let Some((expr, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        pending.extend(expr.children().into_iter().map(|child| (child, depth + 1)));
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(terms: usize, term: &str, operator: &str) -> String {
        vec![term; terms].join(operator)
    }

    #[test]
    fn chains_nest_and_lists_do_not() {
        let deep = [
            format!("SELECT {}", chain(MAX_TEXT_DEPTH + 2, "1", "+")),
            format!("SELECT (({}))", chain(MAX_TEXT_DEPTH, "a", " OR ")),
            format!("SELECT x{}", "::int".repeat(MAX_TEXT_DEPTH + 1)),
            format!("SELECT x{}", " IS NULL".repeat(MAX_TEXT_DEPTH + 1)),
            format!("SELECT x{}", "[1]".repeat(MAX_TEXT_DEPTH + 1)),
            "(".repeat(MAX_TEXT_DEPTH + 1),
            chain(MAX_TEXT_DEPTH + 2, "SELECT 1", " UNION ALL "),
            format!("SELECT 1 FROM {}", chain(MAX_TEXT_DEPTH + 2, "t", ",")),
            format!("SELECT 1 FROM {}", chain(MAX_TEXT_DEPTH + 2, "t", " JOIN ")),
        ];
        for text in deep {
            assert_eq!(check_text(&text), Err(TooDeep::Nested), "{}", &text[..40]);
        }
        let flat = [
            format!("SELECT {}", chain(100_000, "a + b * c", ", ")),
            format!("SELECT a IN ({})", chain(100_000, "1", ",")),
            format!("VALUES {}", chain(100_000, "(1 + 2, f(3))", ",")),
            format!("SELECT 1 FROM t WHERE {}", chain(MAX_DEPTH, "t.a = 'x'", " OR ")),
            format!("SELECT '{}'", "+".repeat(10_000)),
            chain(100_000, "SELECT 1 + 1", ";"),
            "SELECT 'not ended".to_owned(),
            "))))".to_owned(),
        ];
        for text in flat {
            assert_eq!(check_text(&text), Ok(()), "{}", &text[..text.len().min(40)]);
        }
    }
}
